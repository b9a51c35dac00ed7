"""What tests are built from: real servers on temporary data."""
