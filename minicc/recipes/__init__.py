"""How operator families are scheduled on a target: plain functions over schedule primitives."""
