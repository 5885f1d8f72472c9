"""Bulk operations: one action on each task of a selection, with progress, dry run and abort."""
