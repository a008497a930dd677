"""Who is logged in where: session events, their intake, SessionsTable, expiry."""
