"""How replies and messages are written: JSON and CSV made once, cells for spreadsheets, numbers with their nouns."""
