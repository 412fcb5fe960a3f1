//! What the providers of models do to us, one test for each fault, on both sets of backends:
//! the answer is whole or its end is told, nothing is shown twice, and each request that was
//! sent stands in the bill.

mod dead;
mod desk;
mod limits;
mod streams;
mod vectors;
