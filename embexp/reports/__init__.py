"""Tables, pages and pictures of what runs found."""
