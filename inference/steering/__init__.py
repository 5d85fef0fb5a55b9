"""Reading sentences in which users say what they want."""
