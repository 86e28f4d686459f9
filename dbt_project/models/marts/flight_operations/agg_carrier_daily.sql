with

flights as (

    select * from {{ ref('fct_flights') }}

),

final as (

    select
        flight_date,
        carrier_code,
        count(*) as scheduled_flights,
        count(*) filter (where is_completed) as completed_flights,
        count(*) filter (where is_cancelled) as cancelled_flights,
        count(*) filter (where is_diverted) as diverted_flights,
        count(*) filter (where is_on_time_departure) as on_time_departures,
        count(*) filter (where is_on_time_arrival) as on_time_arrivals,
        sum(arrival_delay_minutes) filter (where is_completed) as total_arrival_delay_minutes
    from flights
    group by flight_date, carrier_code

)

select * from final
