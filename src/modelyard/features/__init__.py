"""Features: rows into arrays. One file a kind: numbers and categories, n-grams, tokens. numpy (and `tokenizers`) only."""
