"""What happened without a webhook: a vendor's list, compared with the ledger."""
