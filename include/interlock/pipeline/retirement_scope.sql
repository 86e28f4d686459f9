-- How many partitions of a dataset are served, and how many of them are safe.
select count(*) filter (where s.version is not null), count(*) filter (where s.safe) from interlock.safety s where s.dataset = %s
