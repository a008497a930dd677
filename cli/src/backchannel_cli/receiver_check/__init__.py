"""Whether a relying party believes good logout tokens, and no others: the command `check`.

Keys and issuer are made for one check and thrown away. Nothing here knows the service, so its keys can sign no bad token.
"""
