"""What to run next: proposals by expected information, and the loop that trains them."""
