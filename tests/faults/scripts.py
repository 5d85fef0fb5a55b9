"""The scripts of the scripted model, and the file that holds the current one."""

FILE = "script"
ANSWER, SLOW, NOT_FINITE, WRONG_LENGTH, FAIL = "answer", "slow", "not_finite", "wrong_length", "fail"
