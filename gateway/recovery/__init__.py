"""What went wrong and is put right."""
