"""What the product does, one noun each: chat, viewers, progress, content, audit."""
