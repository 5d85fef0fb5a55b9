"""Like or dislike: what a user says of an item, predicted from what they said of others, cross-validated."""
