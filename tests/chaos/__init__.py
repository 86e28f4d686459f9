"""Kills what a run consists of, at every phase boundary and at random, and checks that nothing is lost or half.

A test of one crash at one place proves that place. What the platform promises is every instruction, so here real
processes die by real signals, many times and at instants that nobody chose, while readers look all the time.
"""
