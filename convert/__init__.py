"""Host side: from a checkpoint and recordings to a bundle. Needs the ``convert`` extra."""
