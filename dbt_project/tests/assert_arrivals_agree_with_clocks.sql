-- Instants are made of schedules and delays; the clocks that the producer also delivers must show the same.
-- A clock that shows a skipped hour (somebody did not put it forward) names the instant that it stands for.
with

flights as (

    select * from {{ ref('fct_flights') }}

),

staged as (

    select * from {{ ref('stg_flight_operations__flights') }}

),

airports as (

    select * from {{ ref('dim_airports') }}

),

readings as (

    select
        flights.flight_date,
        flights.carrier_code,
        flights.flight_number,
        flights.origin_code,
        flights.arrived_at,
        airports.time_zone,
        flights.arrived_at at time zone airports.time_zone as expected_reading,
        {{ clock_interval('staged.arrival_clock % 2400') }} as reading
    from flights
    inner join staged
        on
            flights.flight_date = staged.flight_date
            and flights.carrier_code = staged.carrier_code
            and flights.flight_number = staged.flight_number
            and flights.origin_code = staged.origin_code
    inner join airports on flights.destination_code = airports.airport_code
    where flights.arrived_at is not null

)

select *
from readings
where
    date_trunc('day', expected_reading) + reading <> expected_reading
    and (date_trunc('day', expected_reading) + reading) at time zone time_zone <> arrived_at
