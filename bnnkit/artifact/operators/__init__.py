"""What each operator is: its body in standard operators, its reference, facts about it."""
