"""Pure parts of writing a letter: fields as the reader sees them, the files of a template."""
