-- A verdict that a reader was shown with the word `safe`: did it pass, on that version, of that dataset and partition?
select v.outcome = 'passed' and v.version = %(version)s and d.name = %(dataset)s and v.partition = %(partition)s
from interlock.verdict v join interlock.dataset d using (dataset_id) where v.verdict_id = %(verdict)s
