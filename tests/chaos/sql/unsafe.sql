-- What is not called safe of the days that were published.
select format('%%s %%s is %%s: %%s', s.dataset, s.partition, s.state, s.reasons)
from interlock.safety s where not s.safe and (s.partition = 'all' or s.partition = any (%(days)s))
