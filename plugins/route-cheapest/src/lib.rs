//! Routes to the cheapest healthy target that can do the job.
