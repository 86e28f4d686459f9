with

source as (

    select * from {{ source('flight_operations', 'carriers') }}

),

final as (

    select
        carrier as carrier_code,
        name as carrier_name
    from source

)

select * from final
