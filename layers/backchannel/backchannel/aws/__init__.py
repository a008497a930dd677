"""AWS without a word of the domain: clients, DynamoDB, SQS and its messages, Secrets Manager."""
