"""What comes in and goes out as files: pictures, checkpoints and bundles."""
