"""Work on pixels and on what images say of themselves, for vendors and for the pipeline, in worker processes."""
