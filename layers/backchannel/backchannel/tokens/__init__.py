"""Keys and signatures: the key ring, KMS, JWS, the JWK Set, and the documents of others where their keys are."""
