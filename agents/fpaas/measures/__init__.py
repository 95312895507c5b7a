"""What measurements are kept in: histograms, intervals, delivery logs."""
