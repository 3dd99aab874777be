"""The controller's loop: everything that waits, wakes or runs side by side. All asyncio of the controller lives here."""
