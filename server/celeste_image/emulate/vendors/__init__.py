"""The fake vendors, one file each."""
