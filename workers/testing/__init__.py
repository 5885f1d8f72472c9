"""What tests of engines and workers need, shipped with the package so that every suite uses the same fakes."""
