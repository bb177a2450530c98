"""What comes back: bounces, complaints, opt-outs by mail, replies, and what follows."""
