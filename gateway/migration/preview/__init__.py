"""What a change of stages would have done to the tasks that were recorded; nothing is changed."""
