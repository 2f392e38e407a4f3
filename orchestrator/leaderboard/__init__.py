"""Results as rows, and the questions that are asked of them."""
