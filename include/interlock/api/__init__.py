"""HTTP: one question, the same answer everywhere, and the page that shows it."""
