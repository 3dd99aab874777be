"""Turn plans into documents: costs, saved plans, plan coverage, and the limit on pruning."""
