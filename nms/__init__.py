"""What is, and how to get from one state to the other: store, monitoring, provisioning."""
