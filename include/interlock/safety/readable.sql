-- What there is to read of a dataset: where its days are, and its columns in their order.
select d.layer, d.partition_column, d.columns from interlock.dataset d where d.name = %(dataset)s
