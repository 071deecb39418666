"""Instagram's Graph API for accounts of the Facebook login."""
