"""What the scripted model can be told, and the file in which it looks."""

FILE = "script"
ANSWER, SLOW, NOT_FINITE, WRONG_LENGTH, FAIL = "answer", "slow", "not_finite", "wrong_length", "fail"
