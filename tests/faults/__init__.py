"""What the portal promises, tried by killing its processes and servers; run by `./portal faults`."""
