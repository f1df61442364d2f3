"""Who is away, on which days: the rules, and their ledger."""
