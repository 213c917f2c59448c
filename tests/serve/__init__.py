"""What serves an operator."""
