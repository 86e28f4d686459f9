with

final as (

    select calendar.date_day::date as date_day
    from generate_series('2000-01-01'::timestamp, '2049-12-31'::timestamp, interval '1 day') as calendar (date_day)

)

select * from final
