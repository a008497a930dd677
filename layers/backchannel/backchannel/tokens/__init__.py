"""Keys and signatures: the key ring, KMS, JWS, the JWK Set."""
