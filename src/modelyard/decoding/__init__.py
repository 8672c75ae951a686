"""From logits to text: the next token, the next tokens, and the words they spell. numpy only; it knows no model and no server."""
