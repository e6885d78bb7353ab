"""What is measured against whom, one script a question."""
