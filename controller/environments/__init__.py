"""Open an environment: its AWS client, its backend (store and lease), its lease guard and its reconciler."""
