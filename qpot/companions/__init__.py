"""What selects without noise: flows, margins, the path kernel."""
