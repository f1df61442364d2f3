"""DynamoDB, SQS and Secrets Manager, as the relay uses them."""
